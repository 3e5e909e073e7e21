settle();
