# COCO-20i: 2017 images, straight from the official instances_*.json. For the 2014 images
# change ann_file and img_path to *_train2014.json, train2014 and so on.
data_root = 'data/coco'
crop_size = (473, 473)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadMask'),
    dict(type='Pad', size=crop_size, pad_val=dict(img=0, seg=255)),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
]
train_dataset = dict(
    type='COCO20iDataset',
    data_root=data_root,
    ann_file='annotations/instances_train2017.json',
    data_prefix=dict(img_path='train2017'),
)
test_dataset = dict(
    train_dataset,
    ann_file='annotations/instances_val2017.json',
    data_prefix=dict(img_path='val2017'),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
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
        num_episodes=24000,
        seed=0,
    ),
)
# one run of episodes that no protocol draws in a test; all else as the protocol has it
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='episode_collate'),
    dataset=dict(
        type='EpisodicDataset',
        dataset=test_dataset,
        protocol='ssp',
        split='novel',
        fold=0,
        num_folds=4,
        shots=1,
        num_episodes=1000,
        seed=9000,
    ),
)
# all as the protocol has it; tools/test.py --protocol NAME takes another
test_dataloader = dict(
    val_dataloader,
    dataset=dict(val_dataloader['dataset'], seed=None, num_episodes=None),
)
val_evaluator = dict(type='FewShotIoUMetric')
test_evaluator = val_evaluator
