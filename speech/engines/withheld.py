"""Words that captions must not invent.

An acoustic model recognises words in noise, and one of these in error hurts people who never said
it. The embedded engine's dictionary lacks them; where they are spoken, it recognises something
similar.
"""

from __future__ import annotations

_WORDS = """
asshole assholes bastard bastard's bastards bitch bitches bitching bitchy blowjob blowjobs
bullshit bullshitter bullshitting chink chinks cock cocks cocksucker cum cunt dick dickhead dicks
dildo dildos dipshit fag faggot fags fuck fuck's fucked fucked-up fucker fuckers fuckin fucking
fucks gook horseshit motherfucker motherfucker's motherfuckers motherfucking nigger nigger's
niggers piss pissed pisses pissing porn porno pussy shit shit's shithead shithole shitload shits
shitstorm shitting shitty slut sluts slutty son-of-a-bitch spic tits twat twats wank wanker
wankers whore whorehouse whores
"""

WITHHELD = frozenset(_WORDS.split())
