"""Where in the picture an answer is decided, by captum on the patch grid."""
