"""Chat completions with audio: the same ears, brain and mouth behind one request for each answer."""
