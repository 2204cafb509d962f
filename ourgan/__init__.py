"""OUR-GAN, the companion."""
