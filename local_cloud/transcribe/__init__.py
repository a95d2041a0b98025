"""Amazon Transcribe streaming on the loopback address: its wire protocol, for unmodified clients.

    requests        what a stream asks for, refused as the service refuses it
    signatures      are they signed by whom they say
    events          the event stream on the wire
    audio           what it carries, as PCM: pcm, FLAC, Opus (ogg)
    recognition     what is said: a script, or a recogniser that works on this machine
    faults          what goes wrong, when asked for
    session         one stream, whatever carries it
    websocket       the WebSocket API
    http2           the HTTP/2 API
    vocabularies    what the account has of them, and the words that filters hide
    operations      the calls about vocabularies and filters
    http1           how they come, over HTTP/1.1
    s3_files        files in S3 that they name
    certificates    the authority that vouches for this endpoint

docs/transcribe-endpoint.md is written for those who use it on its own.
"""
