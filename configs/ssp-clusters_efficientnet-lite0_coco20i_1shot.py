# SSP's logits averaged over clusters of the query's cells, by half
_base_ = './ssp_efficientnet-lite0_coco20i_1shot.py'
model = dict(
    decode_head=dict(grouping=dict(type='QueryClusters', clusters=16, weight=0.5))
)
