"""What one visitor of the page has: support shots, and the results of the queries."""

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmssp.apis import FewShotInferencer
from mmssp.apis.adapting import Adapted
from mmssp.apis.images import read_any_image
from mmssp.apis.result import Result


@dataclass(frozen=True)
class Limits:
    """How much one visitor may ask for. Who needs more has the command line.

    Attributes:
        max_pixels: Of one image; larger ones are refused before they are decoded.
        max_shots: Support images of all classes together.
        max_classes: Classes.
        max_queries: Query images at a time.
        max_query_pixels: Of all query images together, times the number of classes.
        max_name: Characters of a class name.
    """

    max_pixels: int = 4096 * 4096
    max_shots: int = 20
    max_classes: int = 5
    max_queries: int = 16
    max_query_pixels: int = 8 * 4096 * 4096
    max_name: int = 40


@dataclass(frozen=True, eq=False)
class Shot:
    """A support image with its object marked.

    Attributes:
        name: Of the class.
        image: (H,W,3) uint8 RGB.
        mask: (H,W) uint8: 1 the object, 0 the rest, 255 ignored.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray


class Session:
    """One visitor's shots and results; nothing of it is shared but the model.

    ``token`` names it where nobody else shall find it.

    Args:
        inferencer: Of this visitor alone, without support.
        model_lock: Of the model that all visitors share: one of them computes at a time.
        limits: What is refused.
    """

    def __init__(
        self,
        inferencer: FewShotInferencer,
        model_lock: threading.Lock,
        limits: Limits = Limits(),
    ) -> None:
        self.lock = threading.RLock()
        self.token = secrets.token_urlsafe(16)
        self.limits = limits
        self.image: np.ndarray | None = None
        self.shots: list[Shot] = []
        self.results: list[Result] = []
        self.query_names: list[str] = []
        self.selected = 0
        self._inferencer = inferencer
        self._model_lock = model_lock

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order in which they came."""
        return tuple(dict.fromkeys(shot.name for shot in self.shots))

    def read(self, path: str) -> np.ndarray:
        """An uploaded image, (H,W,3) uint8 RGB.

        Raises:
            FileNotFoundError: It is no longer there.
            ValueError: It is no image, damaged or has too many pixels.
        """
        with named(path):
            return read_any_image(path, max_pixels=self.limits.max_pixels)

    def choose_image(self, path: str) -> np.ndarray:
        """Read the support image that is to be marked next."""
        self.image = None
        self.image = self.read(path)
        return self.image

    def add_shot(self, name: str, image: np.ndarray, mask: np.ndarray) -> Shot:
        """Let the model see a marked image.

        Args:
            name: Of the class; spaces around it are dropped.
            image: (H,W,3) uint8 RGB.
            mask: (H,W) uint8: 1 the object, 0 the rest, 255 ignored.

        Raises:
            ValueError: The name is empty or long, there are too many shots or classes,
                or the model cannot use the mask. Nothing has changed then.
        """
        name, limits = ' '.join(name.split()), self.limits
        if not name:
            raise ValueError('The object has no name: type one, such as "screw".')
        if len(name) > limits.max_name:
            raise ValueError(
                f'A name of {len(name)} characters; expected at most {limits.max_name}.'
            )
        if len(self.shots) >= limits.max_shots:
            raise ValueError(
                f'There are {len(self.shots)} support images, the most for this page: '
                'remove one first.'
            )
        if name not in self.class_names and len(self.class_names) >= limits.max_classes:
            raise ValueError(
                f'There are {len(self.class_names)} classes, the most for this page: '
                'remove one first.'
            )
        shot = Shot(name, image, mask)
        with self._model_lock:
            # what was learned of the class stays
            self._inferencer.add_support(image, mask, name, class_value=1)
        self.shots.append(shot)
        self.image = None
        return shot

    def remove_shot(self, index: int) -> Shot:
        """Forget one shot, and its class if it was the last.

        Raises:
            ValueError: There is no such shot.
        """
        if not 0 <= index < len(self.shots):
            raise ValueError('Choose a support image to remove first.')
        shot = self.shots[index]
        own = self._of_class(shot.name)
        with self._model_lock:
            if len(own) == 1:
                self._inferencer.remove_support(shot.name)
            else:
                place = next(i for i, other in enumerate(own) if other is shot)
                self._inferencer.remove_support(shot.name, place)
        del self.shots[index]
        return shot

    def clear(self) -> None:
        """Forget everything."""
        for name in self._inferencer.names:
            self._inferencer.remove_support(name)
        self.image = None
        self.shots = []
        self._set_results([], [])

    def segment(self, paths: Sequence[str]) -> list[str]:
        """Segment query images; those that cannot be read are left out.

        Args:
            paths: Of the images.

        Returns:
            A sentence for each image that is left out.

        Raises:
            ValueError: No support, no image, or too many of them.
        """
        limits = self.limits
        if not self.shots:
            raise ValueError(
                'No support yet: mark the object on an image and add it first.'
            )
        if not paths:
            raise ValueError('No query image yet: drop one or more first.')
        if len(paths) > limits.max_queries:
            raise ValueError(
                f'{len(paths)} query images; this page takes {limits.max_queries} at a '
                'time. For more, use tools/predict.py.'
            )
        names, results, problems, pixels = [], [], [], 0
        for path in paths:
            try:
                image = self.read(path)
            except (ValueError, OSError) as error:
                problems.append(str(error))
                continue
            pixels += image.shape[0] * image.shape[1] * len(self.class_names)
            if pixels > limits.max_query_pixels:
                problems.append(
                    f'{Path(path).name}: too many pixels together; segment fewer '
                    'images at a time, or use tools/predict.py.'
                )
                break
            with self._model_lock:
                results.append(self._inferencer.predict(image))
            names.append(Path(path).name)
        self._set_results(names, results)
        return problems

    def learn(
        self, seconds: float, report: Callable[[float, str], None]
    ) -> dict[str, Adapted]:
        """Learn from the support, and segment the queries again.

        Args:
            seconds: How long.
            report: See :meth:`mmssp.apis.FewShotInferencer.adapt`.

        Raises:
            ValueError: No support yet.
        """
        if not self.shots:
            raise ValueError(
                'No support yet: mark the object on an image and add it first.'
            )

        def told(share: float, what: str) -> None:
            # between two iterations other visitors may have the model
            self._model_lock.release()
            self._model_lock.acquire()
            report(share, what)

        with self._model_lock:
            learned = self._inferencer.adapt(seconds, progress=told)
        again = []
        for result in self.results:
            with self._model_lock:
                again.append(self._inferencer.predict(result.image))
        self.results = again
        return learned

    def correct(self) -> Result:
        """Take the selected query as the support image that is to be marked next.

        Raises:
            ValueError: There is no result.
        """
        if not self.results:
            raise ValueError('No result yet: segment some images first.')
        result = self.results[self.selected]
        self.image = result.image
        return result

    def explain(self, index: int, name: str):
        """Why query ``index`` came out so, for one class."""
        with self._model_lock:
            return self.results[index].explain(name)

    def disagreements(self) -> list[str]:
        """Sentences about support images that disagree with the others of their class."""
        found = []
        for name in self.class_names:
            if len(self._of_class(name)) > 1:
                with self._model_lock:
                    found += self._inferencer.check_support(name)['warnings']
        return found

    def _of_class(self, name: str) -> list[Shot]:
        return [shot for shot in self.shots if shot.name == name]

    def _set_results(self, names: list[str], results: list[Result]) -> None:
        self.query_names, self.results, self.selected = names, results, 0


@contextmanager
def named(path: str) -> Iterator[None]:
    """Let errors speak of a file by its own name, not by where the upload lies."""
    try:
        yield
    except (ValueError, OSError) as error:
        name = Path(path).name
        raise ValueError(str(error).replace(str(path), name)) from error
