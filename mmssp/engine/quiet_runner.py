"""MMEngine's runner, whose long lists go to the log file alone."""

import logging
from typing import Any

from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

LISTS = ('-' * 60 + '\nSystem environment', 'Config:\n', 'Hooks will be executed in ')
"""How records begin that hundreds of lines follow in."""


@RUNNERS.register_module()
class QuietRunner(Runner):
    """Writes environment, config and order of hooks to the log file, not to the console.

    There is one line in their place. Everything else is as in MMEngine's ``Runner``.
    """

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """As ``Runner``'s, with a shorter console."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(is_short)
        file = next((h for h in logger.handlers if hasattr(h, 'baseFilename')), None)
        if file is not None:
            logger.info(f'environment, config and hooks are in {file.baseFilename}')
        return logger


def is_short(record: logging.LogRecord) -> bool:
    """Whether a record is none of the long lists."""
    return not record.getMessage().lstrip('\n').startswith(LISTS)
