"""What tools/analysis_tools/benchmark.py measures, one module for each subject."""

SUBJECTS = (
    'matching',
    'encode',
    'train-step',
    'prediction',
    'evaluation',
    'index',
    'precision',
    'processes',
)
"""Keys of ``benchmarks.suite.BENCHMARKS``, known without importing PyTorch."""
PRECISIONS = ('float32', 'bfloat16', 'float16')
"""Keys of ``benchmarks.machine.DTYPES``, likewise."""
