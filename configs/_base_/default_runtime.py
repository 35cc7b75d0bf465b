default_scope = 'mmseg'
custom_imports = dict(imports=['mmssp'], allow_failed_imports=False)
env_cfg = dict(
    # images of a test are of every size; CudnnBenchmarkHook is for training on crops
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    # seconds that a process waits for another; see docs/distributed.md
    dist_cfg=dict(backend='nccl', timeout=1800),
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends)
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
