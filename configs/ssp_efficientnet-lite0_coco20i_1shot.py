# No download at all: ImageNet features come with a package. Images are squashed to
# 480×480; the query's truth stays at the original size.
_base_ = [
    './_base_/models/ssp_efficientnet-lite0.py',
    './_base_/datasets/coco20i.py',
    './_base_/schedules/schedule_6k.py',
    './_base_/default_runtime.py',
]
resize = dict(type='Resize', scale=(480, 480), keep_ratio=False)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadMask'),
    resize,
    dict(type='RandomFlip', prob=0.5),
]
query_pipeline = [dict(type='LoadImage'), resize, dict(type='LoadMask')]
support_pipeline = [dict(type='LoadImage'), dict(type='LoadMask'), resize]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(pipeline=query_pipeline, support_pipeline=support_pipeline)
)
test_dataloader = dict(
    dataset=dict(pipeline=query_pipeline, support_pipeline=support_pipeline)
)
