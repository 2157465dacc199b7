"""What can be broken on command: which faults there are, when one strikes, and where it is applied."""
