//! What a containerizer is: the plug-in trait and its contract.
