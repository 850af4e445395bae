"""python -m pipeline: the fsdsinet command."""

import sys

from pipeline.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
