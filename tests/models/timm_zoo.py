"""Architectures of timm: at least one of each family, at the smallest input it takes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tests.models.case import Case, Made, calibrated, settle

# family (the module of timm), architecture, side of the input image, whether the model is made for
# that side (its positions or windows depend on it), blocks where the full depth would only repeat.
Row = tuple[str, str, int, bool, int | None]
TABLE: tuple[Row, ...] = (
    ("beit", "beit_base_patch16_224", 64, True, 3),
    ("byoanet", "botnet26t_256", 64, True, None),
    ("byoanet", "eca_halonext26ts", 256, True, None),
    ("byoanet", "lambda_resnet26t", 64, True, None),
    ("byobnet", "repvgg_a0", 64, True, None),
    ("byobnet", "mobileone_s0", 64, True, None),
    ("byobnet", "gernet_s", 64, True, None),
    ("byobnet", "eca_resnext26ts", 64, True, None),
    ("cait", "cait_xxs24_224", 64, True, 6),
    ("coat", "coat_tiny", 64, True, None),
    ("convit", "convit_tiny", 64, True, None),
    ("convmixer", "convmixer_1024_20_ks9_p14", 64, False, None),
    ("convnext", "convnextv2_atto", 64, False, None),
    ("cpubone", "cpubone_nano", 64, False, None),
    ("crossvit", "crossvit_tiny_240", 64, False, None),
    ("csatv2", "csatv2", 64, False, None),
    ("cspnet", "cs3darknet_s", 64, False, None),
    ("cspnext", "cspnext_tiny", 64, False, None),
    ("davit", "davit_tiny", 64, False, None),
    ("deepseek_vit", "deepseek_vit_412m", 224, True, 2),
    ("deit", "deit_tiny_distilled_patch16_224", 64, True, None),
    ("densenet", "densenet121", 64, False, None),
    ("dla", "dla46_c", 64, False, None),
    ("dpn", "dpn48b", 64, False, None),
    ("edgenext", "edgenext_xx_small", 64, False, None),
    ("efficientformer", "efficientformer_l1", 224, True, None),
    ("efficientformer_v2", "efficientformerv2_s0", 64, True, None),
    ("efficientnet", "efficientnet_b0", 64, False, None),
    ("efficientnet", "tf_efficientnetv2_b0", 64, False, None),
    ("efficientnet", "mixnet_s", 64, False, None),
    ("efficientnet", "mnasnet_small", 64, False, None),
    ("efficientvim", "efficientvim_m1", 64, False, None),
    ("efficientvit_mit", "efficientvit_b0", 64, False, None),
    ("efficientvit_msra", "efficientvit_m0", 64, True, None),
    ("eva", "eva02_tiny_patch14_224", 64, True, None),
    ("fasternet", "fasternet_t0", 64, False, None),
    ("fastvit", "fastvit_t8", 64, False, None),
    ("focalnet", "focalnet_tiny_srf", 64, False, None),
    ("gcvit", "gcvit_xxtiny", 64, True, None),
    ("gemma4_vit", "gemma4_vit_167m", 64, True, 2),
    ("ghostnet", "ghostnet_050", 64, False, None),
    ("ghostnet", "ghostnetv2_100", 64, False, None),
    ("hardcorenas", "hardcorenas_a", 64, False, None),
    ("hgnet", "hgnetv2_b0", 64, False, None),
    ("hiera", "hiera_tiny_224", 64, True, None),
    ("hieradet_sam2", "sam2_hiera_tiny", 64, False, None),
    ("hrnet", "hrnet_w18_small", 64, False, None),
    ("iformer", "iformer_t", 64, False, None),
    ("inception_next", "inception_next_atto", 64, False, None),
    ("inception_resnet_v2", "inception_resnet_v2", 96, False, None),
    ("inception_v3", "inception_v3", 96, False, None),
    ("inception_v4", "inception_v4", 96, False, None),
    ("lcnetv2", "lcnetv2_small", 64, False, None),
    ("levit", "levit_128s", 64, True, None),
    ("lowformer", "lowformer_b0", 64, False, None),
    ("mambaout", "mambaout_femto", 64, False, None),
    ("maxxvit", "maxvit_rmlp_pico_rw_256", 64, True, None),
    ("maxxvit", "coatnet_nano_rw_224", 64, True, None),
    ("metaformer", "poolformer_s12", 64, False, None),
    ("metaformer", "caformer_s18", 64, False, None),
    ("mlp_mixer", "mixer_s32_224", 64, True, None),
    ("mlp_mixer", "resmlp_12_224", 64, True, None),
    ("mlp_mixer", "gmlp_ti16_224", 64, True, None),
    ("mobilenetv3", "mobilenetv4_conv_small", 64, False, None),
    ("mobilenetv5", "mobilenetv5_base", 64, False, None),
    ("mobilevit", "mobilevit_xxs", 64, True, None),
    ("mobilevit", "mobilevitv2_050", 64, True, None),
    ("mvitv2", "mvitv2_tiny", 64, True, None),
    ("naflexvit", "naflexvit_base_patch16_gap", 64, True, 2),
    ("nasnet", "nasnetalarge", 64, False, None),
    ("nest", "nest_tiny", 64, True, None),
    ("nextvit", "nextvit_small", 64, False, None),
    ("nfnet", "nf_ecaresnet26", 64, False, None),
    ("pit", "pit_ti_224", 64, True, None),
    ("pnasnet", "pnasnet5large", 64, False, None),
    ("pvt_v2", "pvt_v2_b0", 64, False, None),
    ("qwen3_vit", "qwen3_vit_88m", 64, True, 2),
    ("rdnet", "rdnet_tiny", 64, False, None),
    ("regnet", "regnetx_002", 64, False, None),
    ("regnet", "regnety_002", 64, False, None),
    ("repghost", "repghostnet_050", 64, False, None),
    ("repvit", "repvit_m0_9", 64, True, None),
    ("res2net", "res2net50_48w_2s", 64, False, None),
    ("resnest", "resnest14d", 64, False, None),
    ("resnet", "resnet10t", 64, False, None),
    ("resnet", "ecaresnet26t", 64, False, None),
    ("resnetv2", "resnetv2_18", 64, False, None),
    ("resnetv2", "resnetv2_50x1_bit", 64, False, None),
    ("rexnet", "rexnet_100", 64, False, None),
    ("selecsls", "selecsls42", 64, False, None),
    ("senet", "legacy_seresnet18", 64, False, None),
    ("sequencer", "sequencer2d_s", 64, True, None),
    ("shvit", "shvit_s1", 64, False, None),
    ("sknet", "skresnet18", 64, False, None),
    ("starnet", "starnet_s1", 64, False, None),
    ("swiftformer", "swiftformer_xs", 64, True, None),
    ("swin_transformer", "swin_tiny_patch4_window7_224", 64, True, None),
    ("swin_transformer_v2", "swinv2_tiny_window8_256", 64, True, None),
    ("swin_transformer_v2_cr", "swinv2_cr_tiny_224", 64, True, None),
    ("tiny_vit", "tiny_vit_5m_224", 64, False, None),
    ("tnt", "tnt_s_patch16_224", 64, True, None),
    ("tresnet", "tresnet_m", 64, False, None),
    ("twins", "twins_svt_small", 64, True, None),
    ("twins", "twins_pcpvt_small", 64, True, None),
    ("vgg", "vgg11", 64, False, None),
    ("visformer", "visformer_tiny", 64, True, None),
    ("vision_transformer", "vit_pwee_patch16_reg1_gap_256", 64, True, None),
    ("vision_transformer_hybrid", "vit_tiny_r_s16_p8_224", 64, True, None),
    ("vision_transformer_relpos", "vit_relpos_small_patch16_224", 64, True, None),
    ("vision_transformer_sam", "samvit_base_patch16_224", 64, True, 2),
    ("vitamin", "vitamin_small_224", 64, True, None),
    ("volo", "volo_d1_224", 64, True, None),
    ("vovnet", "ese_vovnet19b_slim", 64, False, None),
    ("xception", "legacy_xception", 64, False, None),
    ("xception_aligned", "xception41", 64, False, None),
    ("xcit", "xcit_nano_12_p16_224", 64, True, None),
)

UNSTABLE = frozenset({"starnet_s1"})


def maker(name: str, side: int, sized: bool, depth: int | None) -> Callable[[], Made]:
    def make() -> Made:
        import timm

        options = {"img_size": side} if sized else {}
        options |= {"depth": depth} if depth is not None else {}
        model = settle(timm.create_model(name, pretrained=False, **options))
        model = calibrated(model, side) if name in UNSTABLE else model
        return Made(model, lambda: (torch.rand(1, 3, side, side),))

    return make


CASES = tuple(Case("timm", family, name, maker(name, *how)) for family, name, *how in TABLE)
