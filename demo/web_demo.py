"""A page to segment by example: mark an object on some images, find it in others.

Runs on this computer alone: nothing is sent or fetched from elsewhere. Needs the extra
`web` (pip install -e ".[web]").
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

__options_first__ = True

from mmssp.utils.command import run

DEFAULT = 'ssp_efficientnet-lite0'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--model', default=DEFAULT, help=f'preset or config (default: {DEFAULT})'
    )
    parser.add_argument('--weights', help='checkpoint (default: what the model has)')
    parser.add_argument(
        '--device', help='such as cpu or cuda:0 (default: a GPU if any)'
    )
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to serve on; 0.0.0.0 lets all of your network in, '
        'without a password (default: 127.0.0.1)',
    )
    parser.add_argument(
        '--port', type=int, help='(default: the first free one from 7860 on)'
    )
    parser.add_argument(
        '--max-upload', type=int, default=20, help='MB of one file (default: 20)'
    )
    parser.add_argument(
        '--max-megapixels', type=int, default=16, help='of one image (default: 16)'
    )
    parser.add_argument('--open', action='store_true', help='open it in the browser')
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    # before Gradio is imported: it asks at import where to put files, and whom to tell
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    with tempfile.TemporaryDirectory(prefix='mmssp-web-') as folder:
        os.environ['GRADIO_TEMP_DIR'] = str(Path(folder) / 'uploads')
        serve(args, Path(folder))


def serve(args: argparse.Namespace, folder: Path) -> None:
    """Start the page, and stay until Ctrl-C.

    Args:
        args: Of the command.
        folder: For uploads, examples and downloads.
    """
    try:
        from web_page.page import STYLE, build_page, theme
    except ModuleNotFoundError as error:
        if error.name != 'gradio':
            raise
        sys.exit('error: Gradio is missing. Install it: pip install -e ".[web]"')
    from mmengine.logging import MMLogger
    from PIL import Image
    from web_page.examples import draw_examples
    from web_page.handlers import Handlers
    from web_page.session import Limits

    from mmssp.apis import FewShotInferencer

    limits = Limits(max_pixels=args.max_megapixels * 2**20)
    # Gradio decodes what is drawn by itself; Pillow refuses twice this number
    Image.MAX_IMAGE_PIXELS = limits.max_pixels // 2
    # else a line for each parameter of the model
    MMLogger.get_instance('web_demo', log_level='ERROR')
    print('Loading the model and drawing the examples ...', flush=True)
    inferencer = FewShotInferencer(
        args.model, args.weights, args.device, max_pixels=limits.max_pixels
    )
    handlers = Handlers(
        inferencer, draw_examples(folder / 'examples'), folder / 'downloads', limits
    )
    page = build_page(handlers)
    try:
        _, url, _ = page.launch(
            server_name=args.host,
            server_port=args.port,
            share=False,
            inbrowser=args.open,
            max_file_size=args.max_upload * 2**20,
            state_session_capacity=64,
            ssr_mode=False,
            mcp_server=False,
            footer_links=[],
            theme=theme(),
            css=STYLE.read_text(),
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        sys.exit(f'error: {args.host}:{args.port or 7860} cannot be served: {error}')
    print(f'Open {url} (Ctrl-C ends it)', flush=True)
    page.block_thread()


if __name__ == '__main__':
    run(main, parse_args)
