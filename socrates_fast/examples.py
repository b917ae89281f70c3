"""Five questions to five people, built in, for a first look at a model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BuiltIn:
    """A built-in example: who is asked, and what."""

    demographics: str
    scenario: str


EXAMPLES = (
    BuiltIn(
        "Age: 34; Gender: Female; Education: Bachelor's degree; Ideology: Moderate",
        "You read: “Glenwood plans free bus rides for students. It would be paid for by a new tax.” How strongly "
        "do you support or oppose free bus rides for students? Only return an integer from 1 to 7, where 1 means "
        "strongly oppose and 7 means strongly support, nothing else.",
    ),
    BuiltIn(
        "Age: 71; Gender: Male; Education: High school graduate or equivalent; Ideology: Very Conservative",
        "You read: “Ashford plans cameras in public parks. The mayor is in favor of it.” How fair is cameras in "
        "public parks to people like you? Only return an integer from 1 to 5, where 1 means not fair at all and "
        "5 means very fair, nothing else.",
    ),
    BuiltIn(
        "Age: 22; Gender: Female; Ideology: Very Liberal; Party Id: Strong Democrat; Location: Oregon",
        "Would you sign a petition for solar panels on the roof of your town hall? "
        "Only return 1 for Yes or 2 for No, nothing else.",
    ),
    BuiltIn(
        "Age: 45; Gender: Male; Employment: Self-employed; Income: 100-124K; Household Size: 4",
        "How likely is it that a four day work week will work well for a firm like yours? Only return an integer "
        "from 0 to 100, where 0 means not likely at all and 100 means extremely likely, nothing else.",
    ),
    BuiltIn(
        "Age: 58; Education: Post grad study/professional degree; Metro Status: Metro Area; Ideology: Moderate",
        "How much do you trust the people who run your town? Only return an integer from 0 to 10, where 0 means "
        "not at all and 10 means completely, nothing else.",
    ),
)
