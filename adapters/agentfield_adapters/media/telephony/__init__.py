"""Phone calls over the media streams of vendors: pure, messages in, events out."""
