import Testing

@Test func configurationTestsPlaceholder() {}
