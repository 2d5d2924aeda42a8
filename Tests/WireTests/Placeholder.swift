import Testing

@Test func WireTestsPlaceholder() {}
