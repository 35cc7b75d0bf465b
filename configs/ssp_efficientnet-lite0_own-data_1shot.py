# For photos of one's own, on a CPU: the recipe of docs/own_data.md.
_base_ = [
    './_base_/models/ssp_efficientnet-lite0.py',
    './_base_/datasets/own_data.py',
    './_base_/schedules/schedule_own_data.py',
    './_base_/default_runtime.py',
]
model = dict(backbone=dict(frozen_blocks=10))
