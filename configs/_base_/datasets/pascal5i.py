# PASCAL-5i: VOC 2012 with SBD's masks (SegmentationClassAug)
data_root = 'data/VOCdevkit/VOC2012'
crop_size = (473, 473)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadMask'),
    dict(type='Pad', size=crop_size, pad_val=dict(img=0, seg=255)),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
]
train_dataset = dict(
    type='PascalVOCDataset',
    data_root=data_root,
    ann_file='ImageSets/Segmentation/trainaug.txt',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
)
test_dataset = dict(train_dataset, ann_file='ImageSets/Segmentation/val.txt')
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
