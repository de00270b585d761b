"""python -m dgnet_peer golden FOLDER: compares this implementation with the step files of a folder."""

import argparse
import sys
from pathlib import Path

from .golden import check_folder


def main() -> int:
    parser = argparse.ArgumentParser(prog="dgnet_peer", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    golden = commands.add_parser("golden", help="compare with golden step files")
    golden.add_argument("folder", type=Path, help="for example tests/golden")
    arguments = parser.parse_args()
    return 0 if check_folder(arguments.folder) else 1


if __name__ == "__main__":
    sys.exit(main())
