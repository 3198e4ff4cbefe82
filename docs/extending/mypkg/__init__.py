"""Parts that vssl finds without knowing them."""
