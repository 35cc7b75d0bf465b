# DINOv3 ViT-L/16, frozen. Its weights are under the DINOv3 License, which has to be
# accepted on the page of the model before they can be downloaded.
_base_ = './ssp_dinov3-s.py'
model = dict(
    backbone=dict(
        weights='facebook/dinov3-vitl16-pretrain-lvd1689m',
        revision='ea8dc2863c51be0a264bab82070e3e8836b02d51',
        config=dict(
            hidden_size=1024,
            intermediate_size=4096,
            num_attention_heads=16,
            num_hidden_layers=24,
        ),
        out_indices=(24,),
    ),
    decode_head=dict(in_channels=1024),
)
