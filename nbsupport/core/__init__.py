"""What every room stands on and what stands on none: errors, files, random numbers, images, tensors, devices."""
