"""Makes sounds by formula that must get no label: machines, calls, electronics.

Recordings often have such sounds, and none of the labels is true for them. A network
that was not trained on them would give them labels that it knows.
"""

import numpy as np

from training.synthesis.building_blocks import (
    Array,
    Random,
    add_at,
    band_noise,
    bent,
    pulses,
    resonant,
    ringing,
    struck,
    times,
    unit,
    wandering,
)
from training.synthesis.signals import Signal
from transforms.decoding.sample_rates import SAMPLE_RATE_HZ


def machinery(t: Array, rng: Random) -> Array:
    """Motors that hum and whine, with parts that strike, grind and hiss in a cycle."""
    mains = rng.uniform(20, 130)
    course = 1 + 0.02 * wandering(t, 0.5, rng)
    motor = pulses(mains * course)
    result = resonant(motor, rng.uniform(80, 3000, 5), rng.uniform(1, 8))
    result *= rng.uniform(0, 1)
    result += band_noise(len(t), 50, rng.uniform(300, 6000), rng) * rng.uniform(0, 0.6)
    cycle = 10 ** rng.uniform(-0.9, 0.6)
    for _ in range(int(rng.integers(1, 5))):
        offset, length = rng.uniform(0, cycle), rng.uniform(0.02, 0.6) * cycle
        low = np.exp(rng.uniform(np.log(60), np.log(4000)))
        modes = rng.uniform(100, 6000, 5)
        strikes = rng.random() < 0.6
        for start in np.arange(offset, t[-1], cycle):
            if strikes:
                part = 2 * ringing(0.3, modes, rng.uniform(0.03, 0.3, 5), rng)
            else:
                size = max(round(length * SAMPLE_RATE_HZ), 64)
                window = np.hanning(size) ** 0.5
                part = band_noise(size, low, 3 * low, rng) * window
            add_at(result, start, part * rng.uniform(0.6, 1))
    return result


def motors(t: Array, rng: Random) -> Array:
    """Servos and stepper motors that speed up and slow down, over a fan."""
    fan = band_noise(len(t), 100, rng.uniform(500, 8000), rng)
    result = unit(fan) * rng.uniform(0, 0.5)
    fastest = np.exp(rng.uniform(np.log(120), np.log(2500)))
    for _ in range(int(rng.integers(1, 4))):
        bodies, quality = rng.uniform(150, 6000, 5), rng.uniform(1, 6)
        seconds, ramp = rng.uniform(0.05, 1.2), rng.uniform(2, 20)
        for start in times(t[-1], seconds * rng.uniform(1, 2), 0.4, rng):
            u = np.linspace(0, 1, round(seconds * rng.uniform(0.5, 1) * SAMPLE_RATE_HZ))
            speed = fastest * rng.choice([0.25, 0.5, 0.75, 1.0])
            course = 30 + speed * np.minimum(1, ramp * np.minimum(u, 1 - u))
            add_at(result, start, resonant(pulses(course), bodies, quality))
    return result


def calls(t: Array, rng: Random) -> Array:
    """Calls like those of animals: a gliding tone through a resonant throat."""
    result = np.zeros_like(t)
    pitch = np.exp(rng.uniform(np.log(90), np.log(3500)))
    seconds, gap = rng.uniform(0.08, 1.2), rng.uniform(0.15, 2)
    bend, arch = rng.uniform(-0.6, 0.6), rng.uniform(-0.5, 0.5)
    rough, rough_hz = rng.choice([0, rng.uniform(0, 1)]), rng.uniform(15, 90)
    throat, is_pure = rng.uniform(300, 5000, 3), rng.random() < 0.35
    breath = rng.uniform(0, 0.6)
    for start in times(t[-1], seconds + gap, 0.3, rng):
        length = seconds * rng.uniform(0.8, 1.2)
        u, course = bent(pitch, length, bend, arch)
        course = np.minimum(course * rng.uniform(0.95, 1.05), 9000)
        phase = 2 * np.pi * np.cumsum(course) / SAMPLE_RATE_HZ
        voice = np.sin(phase) if is_pure else resonant(pulses(course), throat, 2.0)
        voice = voice + breath * band_noise(len(u), pitch, 4 * pitch, rng)
        voice *= 1 - rough * (0.5 + 0.5 * np.sin(2 * np.pi * rough_hz * u * length))
        add_at(result, start, voice * np.sin(np.pi * u) ** rng.uniform(0.3, 1.5))
    return result


def hoots(t: Array, rng: Random) -> Array:
    """Calls like those of owls, doves and monkeys: series of low tones in a rhythm."""
    result = np.zeros_like(t)
    pitch = np.exp(rng.uniform(np.log(180), np.log(1100)))
    beats, seconds = int(rng.integers(2, 9)), rng.uniform(0.06, 0.6)
    gap, quickening = rng.uniform(0.05, 0.5), rng.uniform(0.8, 1.1)
    bend, arch, breath = rng.uniform((-0.3, -0.2, 0), (0.3, 0.3, 0.3))
    breath *= rng.choice([0, 1])
    fullness = rng.uniform(0.1, 1)
    overtones = (1.0, *rng.uniform(0, 2, 5) * fullness ** np.arange(1, 6))
    rhythm = rng.uniform(0.3, 1.7, beats)
    flutter, flutter_hz = rng.choice([0, rng.uniform(0, 0.8)]), rng.uniform(12, 40)
    rest = rng.uniform(0.3, 2)
    for start in times(t[-1], beats * (seconds + gap) + rest, 0.3, rng):
        at, pause = start, gap
        for beat in rhythm:
            length = seconds * beat * rng.uniform(0.9, 1.1)
            u, course = bent(pitch, length, bend, arch)
            phase = 2 * np.pi * np.cumsum(course) / SAMPLE_RATE_HZ
            tone = sum(a * np.sin(n * phase) for n, a in enumerate(overtones, 1))
            tone = tone + breath * band_noise(len(u), pitch, 4 * pitch, rng)
            beating = 0.5 + 0.5 * np.sin(2 * np.pi * flutter_hz * u * length)
            shape = np.sin(np.pi * u) ** rng.uniform(0.3, 1)
            add_at(result, at, tone * (1 - flutter * beating) * shape)
            at, pause = at + length + pause, pause * quickening
    return result


def swooshes(t: Array, rng: Random) -> Array:
    """Sweeps of noise with a rising or falling pitch, natural or synthetic."""
    result = np.zeros_like(t)
    for start in times(t[-1], rng.uniform(0.6, 3), 0.5, rng):
        size = round(rng.uniform(0.3, 2.5) * SAMPLE_RATE_HZ)
        u = np.linspace(0, 1, size)
        low, high = np.exp(rng.uniform(np.log(80), np.log(8000), 2))
        edges = np.linspace(0, 1, 9)
        for before, after in zip(edges[:-1], edges[1:], strict=True):
            middle = low * (high / low) ** ((before + after) / 2)
            window = np.maximum(0, 1 - np.abs(u - (before + after) / 2) * 8)
            band = band_noise(size, middle / 1.5, middle * 1.5, rng)
            add_at(result, start, band * window * np.sin(np.pi * u))
    return result


def bleeps(t: Array, rng: Random) -> Array:
    """Sounds of games and electronic devices: steps, sweeps, frequency modulation."""
    result = np.zeros_like(t)
    ratio, depth = rng.choice([0.5, 1, 1.41, 2, 3.5]), rng.uniform(0, 6)
    for start in times(t[-1], rng.uniform(0.2, 1.5), 0.6, rng):
        seconds = rng.uniform(0.03, 0.6)
        u = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        begin, end = np.exp(rng.uniform(np.log(100), np.log(4000), 2))
        course = begin * (end / begin) ** (u / seconds)
        if rng.random() < 0.5:
            steps = np.floor(u / seconds * int(rng.integers(1, 8)))
            course = begin * rng.choice([0.75, 1.25, 1.5]) ** steps
        phase = 2 * np.pi * np.cumsum(np.minimum(course, 9000)) / SAMPLE_RATE_HZ
        tone = np.sin(phase + depth * np.exp(-4 * u) * np.sin(ratio * phase))
        tone = np.sign(tone) * 0.5 if rng.random() < 0.3 else tone
        add_at(result, start, tone * np.minimum(1, (seconds - u) * 50))
    return result


def friction(t: Array, rng: Random) -> Array:
    """Sliding and scraping: random slips on a rough surface."""
    result = np.zeros_like(t)
    bodies = rng.uniform(200, 5000, 4)
    for start in times(t[-1], rng.uniform(0.5, 2), 0.5, rng):
        size = round(rng.uniform(0.15, 1.5) * SAMPLE_RATE_HZ)
        u = np.linspace(0, 1, size)
        speed = np.sin(np.pi * u) ** rng.uniform(0.5, 2)
        grains = rng.random(size) < 0.3 * speed * rng.uniform(0.05, 1)
        slips = resonant(
            grains * rng.standard_normal(size), bodies, rng.uniform(0.5, 4)
        )
        add_at(result, start, slips * speed)
    return result


def impacts(t: Array, rng: Random) -> Array:
    """Objects of any material that fall, knock and bounce."""
    result = np.zeros_like(t)
    for start in times(t[-1], rng.uniform(0.3, 2), 0.6, rng):
        base = np.exp(rng.uniform(np.log(80), np.log(3000)))
        modes = base * np.cumprod(1 + rng.uniform(0.1, 0.9, 7))
        decays = rng.uniform(0.02, 0.25) * rng.uniform(0.3, 1, 7)
        height, bounce = rng.uniform(0.05, 0.3), rng.uniform(0.2, 0.75)
        at, loud = start, 1.0
        for _ in range(int(rng.integers(1, 9))):
            click = band_noise(round(0.01 * SAMPLE_RATE_HZ), base, 8000, rng)
            body = ringing(0.3, modes, decays, rng) * loud
            body[: len(click)] += (
                click * struck(0.01, 0.0003, 0.01)[: len(click)] * loud
            )
            add_at(result, at, body)
            at, height, loud = at + height, height * bounce, loud * bounce
    return result


ODDITIES: tuple[Signal, ...] = (
    *(machinery, motors, calls, hoots, swooshes, bleeps, friction, impacts),
)
