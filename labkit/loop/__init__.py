"""The part of labkit that owns hardware: host, device runners, task runners, reaper, and the loop around them."""
