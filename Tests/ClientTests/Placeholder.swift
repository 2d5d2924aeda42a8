import Testing

@Test func ClientTestsPlaceholder() {}
