"""The provider's mouth: words to samples, and the moment each word begins. Knows no conversations."""
