"""python -m mmssp predict …: the commands of an installed mmssp."""

import sys

import mmssp
from mmssp._components import load_components
from mmssp.arguments.predict_options import parse_args

USAGE = """\
usage: python -m mmssp predict --support DIR|JSON --input PATH … --output DIR

commands:
  predict    a few labelled images in, masks for all others out
             (python -m mmssp predict --help)
"""


def main() -> None:
    """Run the command that the first argument names."""
    words = sys.argv[1:]
    if words and words[0] in ('-h', '--help'):
        print(USAGE, end='')
    elif words and words[0] == '--version':
        print(mmssp.__version__)
    elif words and words[0] == 'predict':
        args = parse_args(words[1:], prog='python -m mmssp predict')
        load_components()
        from mmssp.apis.folder.cli import predict

        predict(args)
    else:
        if words:
            print(f'there is no command {words[0]!r}', file=sys.stderr)
        print(USAGE, end='', file=sys.stderr)
        sys.exit(2)


if __name__ == '__main__':
    from mmssp.utils.command import run

    run(main)
