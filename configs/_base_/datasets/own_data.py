# Data of one's own: COCO-style JSON (docs/own_data.md has masks and LabelMe). Without
# novel_classes, base_classes or a fold, all classes are on both sides.
data_root = 'data/mine'
scale = (320, 320)
load = [dict(type='LoadImage'), dict(type='LoadMask')]
resize = dict(type='Resize', scale=scale, keep_ratio=False)
episodes = dict(
    type='EpisodicDataset',
    dataset=dict(
        type='CocoSegDataset',
        data_root=data_root,
        ann_file='labels.json',
        data_prefix=dict(img_path='images'),
    ),
    shots=1,
    min_pixels=1000,  # of a class, for an image to be a support
    allow_missing_classes=True,
)
novel = dict(
    episodes,
    split='novel',
    # resized first, so that the query's mask keeps its size, at which it is scored
    pipeline=[load[0], resize, load[1]],
    support_pipeline=[*load, resize],
)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteEpisodeSampler'),
    collate_fn=dict(type='episode_collate'),
    dataset=dict(
        episodes,
        split='base',
        pipeline=[*load, resize, dict(type='RandomFlip', prob=0.5)],
        num_episodes=1000,
        seed=0,
    ),
)
# episodes of its own, not those of the test
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='episode_collate'),
    dataset=dict(novel, num_episodes=100, seed=9000),
)
test_dataloader = dict(
    val_dataloader, dataset=dict(novel, num_episodes=300, seed=[0, 1, 2, 3, 4])
)
val_evaluator = dict(type='FewShotIoUMetric')
test_evaluator = val_evaluator
