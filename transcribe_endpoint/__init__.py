"""Amazon Transcribe streaming on the loopback address: its wire protocol, for unmodified clients.

    requests        what a stream asks for, and the errors that refuse it
    signatures      verification of Signature Version 4
    faults          failures that a client or the command line asks for
    audio/          decoding of PCM, FLAC, Opus in Ogg and telephone codecs
    recognition/    recognisers: a script, dictation, or an engine of this machine
    vocabularies/   vocabularies and filters, and the calls that manage them
    streams/        one stream, independent of its transport, and its event stream
    transports/     WebSocket, HTTP/2, HTTP/1.1, and the certificates for TLS

docs/transcribe-endpoint.md is the manual.
"""
