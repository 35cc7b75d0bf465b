# DINOv3 ViT-L/16, frozen. Its weights are under the DINOv3 License, which has to be
# accepted on the page of the model before they can be downloaded.
model = dict(
    type='FewShotEncoderDecoder',
    data_preprocessor=dict(
        type='FewShotDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    size_divisor=16,
    backbone=dict(
        type='HFBackbone',
        weights='facebook/dinov3-vitl16-pretrain-lvd1689m',
        revision='ea8dc2863c51be0a264bab82070e3e8836b02d51',
        config=dict(
            model_type='dinov3_vit',
            hidden_size=1024,
            intermediate_size=4096,
            num_attention_heads=16,
            num_hidden_layers=24,
            num_register_tokens=4,
        ),
        out_indices=(24,),
    ),
    decode_head=dict(type='SSPHead', in_channels=1024, in_index=0, refine=True),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
