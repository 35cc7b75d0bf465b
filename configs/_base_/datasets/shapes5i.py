# Shapes-5i, drawn by tools/dataset_converters/shapes5i.py: VOC layout, 20 classes
data_root = 'data/shapes5i'
scale = (320, 320)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadMask'),
    dict(type='Resize', scale=scale, keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
]
# the query's truth stays at the original size
query_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale=scale, keep_ratio=False),
    dict(type='LoadMask'),
]
support_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadMask'),
    dict(type='Resize', scale=scale, keep_ratio=False),
]
train_dataset = dict(
    type='Shapes5iDataset',
    data_root=data_root,
    ann_file='ImageSets/Segmentation/train.txt',
)
test_dataset = dict(train_dataset, ann_file='ImageSets/Segmentation/val.txt')
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteEpisodeSampler'),
    collate_fn=dict(type='episode_collate'),
    dataset=dict(
        type='EpisodicDataset',
        dataset=train_dataset,
        pipeline=train_pipeline,
        split='base',
        fold=0,
        num_folds=4,
        fold_order='contiguous',
        shots=1,
        num_episodes=480,
        seed=0,
    ),
)
# episodes that no protocol draws in a test
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='episode_collate'),
    dataset=dict(
        type='EpisodicDataset',
        dataset=test_dataset,
        protocol='ssp',
        pipeline=query_pipeline,
        support_pipeline=support_pipeline,
        split='novel',
        fold=0,
        num_folds=4,
        fold_order='contiguous',
        shots=1,
        num_episodes=100,
        seed=9000,
    ),
)
test_dataloader = dict(
    val_dataloader,
    dataset=dict(val_dataloader['dataset'], seed=None, num_episodes=None),
)
val_evaluator = dict(type='FewShotIoUMetric')
test_evaluator = val_evaluator
