# Trains in minutes on a CPU, from ImageNet features that come with a package.
_base_ = [
    './_base_/models/ssp_efficientnet-lite0.py',
    './_base_/datasets/shapes5i.py',
    './_base_/schedules/schedule_6k.py',
    './_base_/default_runtime.py',
]
model = dict(backbone=dict(frozen_blocks=10))
max_iters = 120
optim_wrapper = dict(optimizer=dict(lr=1e-2))
param_scheduler = [
    dict(
        type='MultiStepLR',
        by_epoch=False,
        milestones=[max_iters // 3, 2 * max_iters // 3],
        gamma=0.1,
    )
]
train_cfg = dict(max_iters=max_iters, val_interval=60)
default_hooks = dict(
    checkpoint=dict(interval=60),
    logger=dict(interval=10),
    visualization=dict(interval=20),
)
