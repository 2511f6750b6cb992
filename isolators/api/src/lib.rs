//! What an isolator is: the plug-in trait and its contract.
