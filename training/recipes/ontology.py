"""Lists the labels that a label implies, from the AudioSet ontology.

Source: J. F. Gemmeke et al., "Audio Set: an ontology and human-labeled dataset for
audio events" (ICASSP 2017), restricted to the labels of the vocabulary. There is one
difference: the cowbells of this project are parts of drum kits, so `Cowbell` implies
percussion and not livestock.
"""

PARENTS: dict[str, tuple[str, ...]] = {
    "Accordion": ("Musical instrument",),
    "Acoustic guitar": ("Guitar",),
    "Aircraft": ("Vehicle",),
    "Applause": ("Human group actions",),
    "Bark": ("Dog",),
    "Bass drum": ("Drum",),
    "Bass guitar": ("Guitar",),
    "Bell": ("Musical instrument",),
    "Bird": ("Wild animals",),
    "Bird vocalization and bird call and bird song": ("Bird",),
    "Bowed string instrument": ("Musical instrument",),
    "Brass instrument": ("Musical instrument",),
    "Car": ("Motor vehicle (road)",),
    "Car passing by": ("Car",),
    "Chatter": ("Human group actions",),
    "Chime": ("Bell",),
    "Chirp and tweet": ("Bird vocalization and bird call and bird song",),
    "Church bell": ("Bell",),
    "Clapping": ("Hands",),
    "Cowbell": ("Percussion",),
    "Crash cymbal": ("Cymbal",),
    "Crowd": ("Human group actions",),
    "Cymbal": ("Percussion",),
    "Dog": ("Domestic animals and pets",),
    "Domestic animals and pets": ("Animal",),
    "Door": ("Domestic sounds and home sounds",),
    "Drum": ("Percussion",),
    "Drum kit": ("Percussion",),
    "Electric guitar": ("Guitar",),
    "Female speech and woman speaking": ("Speech",),
    "Glockenspiel": ("Mallet percussion",),
    "Guitar": ("Plucked string instrument",),
    "Gunshot and gunfire": ("Explosion",),
    "Harmonica": ("Musical instrument",),
    "Harp": ("Musical instrument",),
    "Hi-hat": ("Cymbal",),
    "Keyboard (musical)": ("Musical instrument",),
    "Laughter": ("Human voice",),
    "Livestock and farm animals and working animals": ("Animal",),
    "Male speech and man speaking": ("Speech",),
    "Mallet percussion": ("Percussion",),
    "Marimba and xylophone": ("Mallet percussion",),
    "Motor vehicle (road)": ("Vehicle",),
    "Musical instrument": ("Music",),
    "Organ": ("Keyboard (musical)",),
    "Percussion": ("Musical instrument",),
    "Piano": ("Keyboard (musical)",),
    "Plucked string instrument": ("Musical instrument",),
    "Rail transport": ("Vehicle",),
    "Rain": ("Water",),
    "Rattle (instrument)": ("Percussion",),
    "Scratching (performance technique)": ("Musical instrument",),
    "Screaming": ("Human voice",),
    "Singing": ("Human voice",),
    "Siren": ("Alarm",),
    "Slam": ("Door",),
    "Snare drum": ("Drum",),
    "Speech": ("Human voice",),
    "Speech synthesizer": ("Speech",),
    "Squeak": ("Door",),
    "Stream": ("Water",),
    "Strum": ("Guitar",),
    "Tambourine": ("Percussion",),
    "Telephone": ("Alarm",),
    "Thunder": ("Thunderstorm",),
    "Train": ("Rail transport",),
    "Trumpet": ("Brass instrument",),
    "Waves and surf": ("Ocean",),
    "Ocean": ("Water",),
    "Whispering": ("Human voice",),
    "Wild animals": ("Animal",),
    "Wind chime": ("Chime",),
    "Wind instrument and woodwind instrument": ("Musical instrument",),
}


def with_ancestors(*labels: str) -> tuple[str, ...]:
    """The given labels, followed by all labels that they imply, each once."""
    found: dict[str, None] = dict.fromkeys(labels)
    for label in labels:
        found |= dict.fromkeys(with_ancestors(*PARENTS.get(label, ())))
    return tuple(found)
