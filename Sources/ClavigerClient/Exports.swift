// Users of the library need its types' vocabulary: keys, envelopes, refusal codes and locked memory come with one import.
@_exported import ClavigerWire
@_exported import SecureMemory
