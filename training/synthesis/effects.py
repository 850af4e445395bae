"""Makes sounds of weather, water, engines, guns and steps by formula.

Soundfonts have only one recording of each of these, which most of them share. The
formulas imitate how the sound arises. Each clip has its own random values, so that a
network can learn what all sounds of a kind have in common.
"""

import numpy as np

from training.synthesis.building_blocks import (
    Array,
    Random,
    add_at,
    band_noise,
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

# In metres per second, in air of 20 degrees Celsius.
_SPEED_OF_SOUND = 343.0


def thunder(t: Array, rng: Random) -> Array:
    """Pieces of a crooked lightning channel, whose sounds arrive one after another.

    This is the string-of-pearls model of Few (1969, J. Geophys. Res. 74): each piece of
    a random walk gives an N-wave, which is weaker and duller at a larger distance.
    """
    result = np.zeros_like(t)
    for flash_s in times(t[-1], rng.uniform(4, 9), 0.4, rng)[:3]:
        near_m = 10 ** rng.uniform(2.3, 3.5)
        steps = rng.normal(0, 1, (int(rng.integers(60, 300)), 3)) * [18, 18, 10]
        channel = np.cumsum(steps, axis=0) + [near_m, 0, rng.uniform(100, 1500)]
        distance = np.linalg.norm(channel, axis=1)
        delays = (distance - distance.min()) / _SPEED_OF_SOUND
        for metres, delay in zip(distance, delays, strict=True):
            length = rng.uniform(0.004, 0.02) * (1 + metres / 1500)
            wave = np.linspace(1, -1, max(2, round(length * SAMPLE_RATE_HZ)))
            add_at(result, flash_s + delay, wave * rng.uniform(0.2, 1) * 300 / metres)
        tail = band_noise(round(6 * SAMPLE_RATE_HZ), 15, 90 + 6e4 / near_m, rng)
        rumble = tail * struck(6, 0.2, rng.uniform(4, 9)) * rng.uniform(0.05, 0.4)
        add_at(result, flash_s, rumble * np.abs(result).max())
    return result


def wind(t: Array, rng: Random) -> Array:
    """Gusts that are louder and brighter when the air is faster, and whistling gaps.

    After Farnell, Designing Sound (2010), chapter 41.
    """
    gusts = wandering(t, rng.uniform(0.15, 0.8), rng)
    gusts = 0.25 + 0.75 * gusts * wandering(t, rng.uniform(1, 3), rng)
    dull = band_noise(len(t), 20, rng.uniform(120, 400), rng)
    bright = band_noise(len(t), 300, rng.uniform(900, 2500), rng)
    result = dull * gusts + bright * gusts**3 * rng.uniform(0.1, 0.7)
    for _ in range(int(rng.integers(0, 4))):
        centre = rng.uniform(250, 1500)
        # The pitch of a whistle rises with the gust.
        bend = 2 * np.pi * np.cumsum(centre * (0.8 + 0.4 * gusts)) / SAMPLE_RATE_HZ
        carrier = band_noise(len(t), 1, rng.uniform(8, 40), rng)
        result += np.sin(bend) * carrier * gusts**2 * rng.uniform(0.05, 0.5)
    return result


def waves(t: Array, rng: Random) -> Array:
    """Breakers on a beach: each swells, breaks into bright foam and runs out."""
    result = band_noise(len(t), 30, 500, rng) * rng.uniform(0.05, 0.3)
    for start in times(t[-1] + 4, rng.uniform(3, 9), 0.3, rng):
        rise, fall = rng.uniform(0.8, 3), rng.uniform(2, 6)
        course = np.where(
            t < start, np.exp((t - start) / rise * 3), np.exp((start - t) / fall * 3)
        )
        roar = band_noise(len(t), 60, rng.uniform(500, 1200), rng)
        foam = band_noise(len(t), 900, rng.uniform(4000, 9000), rng)
        result += course * roar + course**2 * foam * rng.uniform(0.3, 1)
    return result


def rain(t: Array, rng: Random) -> Array:
    """Drops on ground, leaves and puddles, over the hiss of distant drops."""
    low = rng.uniform(400, 2000)
    result = band_noise(len(t), low, rng.uniform(5000, 10000), rng)
    result *= (0.7 + 0.3 * wandering(t, 0.5, rng)) * 10 ** rng.uniform(-1.2, -0.2)
    for _ in range(int(t[-1] * 10 ** rng.uniform(1, 2.2))):
        size = rng.uniform(0.004, 0.03)
        if rng.random() < 0.3:
            drop = _bubble(rng.uniform(1500, 6000), rng)
        else:
            drop = struck(size, 0.0005, size) * rng.standard_normal(
                round(size * SAMPLE_RATE_HZ)
            )
        add_at(result, rng.uniform(0, t[-1]), drop * rng.exponential(0.6))
    return result


def stream(t: Array, rng: Random) -> Array:
    """Running water: many bubbles of all sizes, over the noise of the current."""
    result = band_noise(len(t), 200, rng.uniform(1500, 6000), rng)
    result *= 10 ** rng.uniform(-1.5, -0.3)
    centre = rng.uniform(5.9, 7.3)
    for _ in range(int(t[-1] * 10 ** rng.uniform(1.7, 2.5))):
        frequency = np.exp(rng.normal(centre, 0.5))
        loud = rng.exponential(0.5)
        add_at(result, rng.uniform(0, t[-1]), loud * _bubble(frequency, rng))
    return result


def _bubble(frequency: float, rng: Random) -> Array:
    """A bubble: a damped sine, whose pitch may rise as it nears the surface.

    Damping and rise follow van den Doel (2005, ACM Trans. Appl. Percept. 2): the
    damping is 0.13 / r + 0.0072 r^-1.5 for a radius r = 3 / f in metres.
    """
    radius = 3 / frequency
    damping = 0.13 / radius + 0.0072 * radius**-1.5
    seconds = min(6 / damping, 0.5)
    t = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    rise = rng.choice([0.0, 0.1]) * damping
    phase = 2 * np.pi * frequency * (t + rise * t**2 / 2)
    return np.sin(phase) * np.exp(-damping * t)


def engine(t: Array, rng: Random) -> Array:
    """Firing strokes of an engine through its exhaust, idling or revving."""
    idle = rng.uniform(12, 60)
    course = wandering(t, rng.uniform(0.1, 0.6), rng)
    depth = rng.choice([0.03, rng.uniform(0.3, 2.5)])
    speed = idle * (
        1 + depth * course + 0.01 * rng.standard_normal(len(t)).cumsum() / 99
    )
    strokes = pulses(np.maximum(speed, 5))
    # Cylinders differ in loudness: the pattern repeats every few strokes.
    number = np.cumsum(strokes).astype(int)
    cylinders = rng.uniform(0.4, 1, int(rng.integers(1, 9)))
    strokes *= cylinders[number % len(cylinders)]
    pipes = rng.uniform(60, 1200, int(rng.integers(2, 6)))
    exhaust = resonant(strokes, pipes, rng.uniform(0.7, 3))
    intake = band_noise(len(t), 150, rng.uniform(1000, 5000), rng)
    loud = 0.4 + 0.6 * course * min(depth, 1)
    rattle = 1 + resonant(strokes, [rng.uniform(20, 90)], 1.0)
    result = exhaust + intake * np.abs(rattle) * rng.uniform(0.02, 0.4)
    return np.tanh(result * rng.uniform(0.3, 1.5)) * loud


def propeller(t: Array, rng: Random) -> Array:
    """A propeller plane or a helicopter that flies by: blades, engine, air."""
    position = np.abs(t / t[-1] - rng.uniform(-0.3, 1.3))
    near = 1 / (1 + (rng.uniform(0.5, 4) * position) ** 2)
    doppler = 1 - 0.06 * np.tanh(3 * (t / t[-1] - rng.uniform(0, 1)))
    is_helicopter = rng.random() < 0.5
    rate = rng.uniform(9, 25) if is_helicopter else rng.uniform(45, 110)
    blades = pulses(rate * doppler)
    if is_helicopter:
        slaps = np.convolve(blades, struck(0.06, 0.008, 0.06))[: len(t)]
        fan = rng.uniform(900, 4000)
        body = slaps * band_noise(len(t), 40, rng.uniform(250, 900), rng)
        whine = np.sin(2 * np.pi * np.cumsum(fan * doppler) / SAMPLE_RATE_HZ)
        body = unit(body) + whine * rng.uniform(0, 0.1)
    else:
        body = resonant(blades, rng.uniform(80, 700, 4), 0.8)
        body += resonant(
            pulses(rate * rng.uniform(0.98, 1.02) * doppler), [150, 400], 1
        )
    air = band_noise(len(t), 60, rng.uniform(400, 2500), rng)
    return (body + air * rng.uniform(0.1, 0.8)) * near


def jet(t: Array, rng: Random) -> Array:
    """A jet that flies by: broad noise, brightest when the jet is near, and its fan."""
    middle, width = rng.uniform(0.2, 0.9), rng.uniform(0.1, 0.6)
    near = np.exp(-(((t / t[-1] - middle) / width) ** 2))
    dull = band_noise(len(t), 30, rng.uniform(150, 500), rng)
    bright = band_noise(len(t), 300, rng.uniform(2000, 7000), rng)
    fan_hz = rng.uniform(700, 4000) * (1 - 0.15 * np.tanh((t / t[-1] - middle) / width))
    fan = np.sin(2 * np.pi * np.cumsum(fan_hz) / SAMPLE_RATE_HZ)
    fan *= rng.uniform(0, 0.4) * (t / t[-1] < middle + 0.1)
    return (0.1 + near) * dull + near**1.5 * bright * rng.uniform(0.2, 1) + fan * near


def gunshots(t: Array, rng: Random) -> Array:
    """Single shots or bursts: a blast wave, muzzle noise and echoes.

    The blast is Friedlander's wave, (1 - t / d) exp(-t / d), a few milliseconds long.
    """
    result = np.zeros_like(t)
    is_burst = rng.random() < 0.4
    d = 10 ** rng.uniform(-3.3, -2.3)
    decay = rng.uniform(0.08, 0.5)
    low, high = rng.uniform(60, 300), rng.uniform(2000, 9000)
    echoes = [(rng.uniform(0.05, 0.9), rng.uniform(0.02, 0.4)) for _ in range(4)]
    for start in times(t[-1], rng.uniform(0.6, 2.5), 0.6, rng):
        gap = rng.uniform(0.06, 0.15)
        for shot in range(int(rng.integers(3, 12)) if is_burst else 1):
            sound = _blast(d, decay, low, high, rng) * rng.uniform(0.7, 1)
            at = start + shot * gap
            add_at(result, at, sound)
            for delay, level in echoes:
                dull = np.convolve(sound, np.ones(12) / 12, "same")
                add_at(result, at + delay, dull * level)
    return result


def explosions(t: Array, rng: Random) -> Array:
    """A heavy blast, then rumbling and falling debris."""
    result = np.zeros_like(t)
    for start in times(t[-1], rng.uniform(2, 6), 0.5, rng):
        d = 10 ** rng.uniform(-2.3, -1.3)
        boom = _blast(d, rng.uniform(0.5, 2.5), 20, rng.uniform(300, 2500), rng)
        add_at(result, start, boom)
        seconds = rng.uniform(1.5, 4)
        rumble = band_noise(round(seconds * SAMPLE_RATE_HZ), 20, 160, rng)
        rumble *= struck(seconds, 0.05, seconds * 0.8) * rng.uniform(0.1, 0.5)
        add_at(result, start, rumble)
        for _ in range(int(rng.integers(0, 40))):
            size = rng.uniform(0.01, 0.08)
            grain = band_noise(round(size * SAMPLE_RATE_HZ), 300, 4000, rng)
            grain *= struck(size, 0.001, size) * rng.exponential(0.05)
            add_at(result, start + rng.gamma(3, 0.4), grain)
    return result


def _blast(d: float, decay_s: float, low: float, high: float, rng: Random) -> Array:
    t = np.arange(round(1.2 * decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    wave = (1 - t / d) * np.exp(-t / d)
    noise = band_noise(len(t), low, high, rng) * struck(1.2 * decay_s, d / 2, decay_s)
    return wave + 0.4 * noise[: len(t)]


def footsteps(t: Array, rng: Random) -> Array:
    """Heel and toe on one kind of ground, at a walking or running pace."""
    result = np.zeros_like(t)
    gap = rng.uniform(0.28, 0.75)
    low, high = sorted(np.exp(rng.uniform(np.log(80), np.log(7000), 2)))
    is_loose, crunch = rng.random() < 0.4, rng.uniform(0.05, 0.2)
    modes = rng.uniform(70, 900, 4)
    for step, start in enumerate(times(t[-1], gap, 0.06, rng)):
        side = 1 if step % 2 else rng.uniform(0.8, 1)
        for delay, level in (
            (0, 1.0),
            (rng.uniform(0.06, 0.13), rng.uniform(0.2, 0.8)),
        ):
            thump = ringing(0.12, modes, rng.uniform(0.03, 0.1, 4), rng)
            size = crunch if is_loose else rng.uniform(0.015, 0.05)
            grit = band_noise(round(size * SAMPLE_RATE_HZ), low, high + 300, rng)
            if is_loose:
                grit = grit * (rng.random(len(grit)) < 0.15)
            grit *= struck(size, 0.003, size)[: len(grit)]
            add_at(result, start + delay, side * level * thump * rng.uniform(0.2, 1))
            add_at(result, start + delay, side * level * 0.5 * grit)
    return result


def train(t: Array, rng: Random) -> Array:
    """Rolling wheels, and axles that hit the joints of the rails."""
    rolling = band_noise(len(t), 40, rng.uniform(200, 900), rng) * rng.uniform(0.1, 0.5)
    hiss = band_noise(len(t), 1000, rng.uniform(3000, 7000), rng) * rng.uniform(0, 0.15)
    result = (rolling + hiss) * (0.7 + 0.3 * wandering(t, 2, rng))
    modes = rng.uniform(80, 2500, 6)
    bogie, coach = rng.uniform(0.1, 0.22), rng.uniform(0.6, 1.6)
    for start in np.arange(rng.uniform(-1, 0), t[-1], coach):
        # Two axles of the last bogie of a coach, then two of the first bogie of the
        # next coach.
        for axle in (0, bogie, 2.2 * bogie, 3.2 * bogie):
            clack = ringing(0.2, modes, rng.uniform(0.04, 0.15, 6), rng)
            grit = band_noise(round(0.05 * SAMPLE_RATE_HZ), 200, 3000, rng)
            sound = clack * rng.uniform(0.5, 1)
            sound[: len(grit)] += 0.4 * grit * struck(0.05, 0.002, 0.05)[: len(grit)]
            add_at(result, start + axle * rng.uniform(0.97, 1.03), sound)
    return result


EFFECTS: tuple[Signal, ...] = (
    *(thunder, wind, waves, rain, stream, engine, propeller, jet),
    *(gunshots, explosions, footsteps, train),
)
