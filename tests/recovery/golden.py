"""The golden stories: together they use all that a session can do, and each is short."""

from tests.recovery import golden_above, golden_boundary, golden_media

GOLDEN = (*golden_boundary.STORIES, *golden_media.STORIES, *golden_above.STORIES)
