import Testing

@Test func SystemTestsPlaceholder() {}
