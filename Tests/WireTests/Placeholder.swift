import Testing

@Test func wireTestsPlaceholder() {}
