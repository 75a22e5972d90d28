# Nobody maintains the packages here; a package of your own may still name its people.
{ }
