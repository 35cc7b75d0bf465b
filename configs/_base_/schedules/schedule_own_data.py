# For a few dozen photos: little is changed, by small steps, and a warning says if it was
# for the worse. All of it follows train_cfg.max_iters. docs/own_data.md has what it gives.
_base_ = './schedule_6k.py'
optim_wrapper = dict(optimizer=dict(lr=2e-4), clip_grad=dict(max_norm=1.0))
param_scheduler = [dict(type='WarmupCosineLR', warmup=0.1, by_epoch=False)]
train_cfg = dict(max_iters=120, val_interval=40)
default_hooks = dict(
    checkpoint=dict(interval=40),
    logger=dict(interval=10),
    visualization=dict(interval=20),
)
custom_hooks = [
    dict(type='ProgressBarHook'),
    dict(type='CudnnBenchmarkHook'),
    # validates before the first iteration as well
    dict(type='UntrainedScoreHook'),
]
