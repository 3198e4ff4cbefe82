"""Names that options choose from, apart from what implements them, which loads torch."""

UPSAMPLING_RULES = ("half_pixel", "align_corners", "opencv", "bicubic")
"""Rules of `vssl.maps.upsample`."""

MAP_TRANSFORMS = ("none", "stretch", "stretch_and_clip")
"""Post-processings of `vssl.maps.transform_maps`."""

FLAG_SUBSETS = ("all", "clean", "clean_one_label", "not_visible")
"""Parts of VGG-SS by VGGSounder's flags, see `vssl.data.vggsounder`."""
