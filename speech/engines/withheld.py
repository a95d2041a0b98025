"""Words that captions must not invent.

An acoustic model that hears noise guesses words, and a wrong guess of one of these hurts people
who never said it. They are left out of the embedded engine's dictionary; speech that does hold
them is heard as something similar.
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
