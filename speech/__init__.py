"""From audio to words: PCM, resampling, decoding, segmentation and the engines behind one port."""
