# DINOv3 ViT-B/16, frozen. Its weights are under the DINOv3 License, which has to be
# accepted on the page of the model before they can be downloaded.
_base_ = './ssp_dinov3-s.py'
model = dict(
    backbone=dict(
        weights='facebook/dinov3-vitb16-pretrain-lvd1689m',
        revision='5931719e67bbdb9737e363e781fb0c67687896bc',
        config=dict(
            hidden_size=768,
            intermediate_size=3072,
            num_attention_heads=12,
        ),
    ),
    decode_head=dict(in_channels=768),
)
