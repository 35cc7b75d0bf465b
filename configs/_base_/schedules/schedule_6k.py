# 24,000 episodes: 6,000 iterations of 4; the learning rate falls at 1/3 and at 2/3
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4),
)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[2000, 4000], gamma=0.1)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=6000, val_interval=300)
val_cfg = dict(type='EpisodicValLoop')
test_cfg = dict(type='EpisodicTestLoop')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='DurableCheckpointHook',
        by_epoch=False,
        interval=300,
        save_best='mIoU',
        rule='greater',
        max_keep_ckpts=2,
    ),
    # --resume gives the weights of a run that was never stopped, see docs/resume.md
    resume=dict(type='ExactResumeHook'),
    finite_loss=dict(type='FiniteLossHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # the same few episodes at every validation, to see them change
    visualization=dict(type='FewShotVisualizationHook', draw=True, interval=100),
)
custom_hooks = [dict(type='ProgressBarHook'), dict(type='CudnnBenchmarkHook')]
